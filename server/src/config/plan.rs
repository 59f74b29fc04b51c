//! What a server would do with a configuration.

use std::net::SocketAddr;

use serde::Serialize;

use crate::config::{Config, Dispatch};
use crate::output::Show;

/// What `silo config check` says of a configuration that can be served.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    /// Always: what cannot be served is an error.
    ok: bool,
    /// The file. None: only defaults.
    file: Option<String>,
    listen: SocketAddr,
    /// What clients are told.
    advertised: String,
    tls: bool,
    /// Whether callers must show a certificate.
    client_certificates: bool,
    /// Whether calls must carry the token.
    token: bool,
    tenancy: bool,
    dev_mode: bool,
    /// Where the data is.
    data: String,
    /// Where the write-ahead logs are, if not with the data.
    log: Option<String>,
    /// For data that has none yet.
    shards: u32,
    lease_ms: u32,
    dispatch: Dispatch,
    flush_interval_ms: u64,
}

impl Plan {
    pub(crate) fn new(config: &Config, file: Option<String>) -> Self {
        let server = &config.server;
        let advertised = server.advertised_grpc_addr.clone();
        let wal = config.database.wal.as_ref();
        Self {
            ok: true,
            file,
            listen: server.grpc_addr,
            advertised: advertised.unwrap_or_else(|| server.grpc_addr.to_string()),
            tls: server.tls.is_some(),
            client_certificates: server
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some()),
            token: server.token.is_some(),
            tenancy: config.tenancy.enabled,
            dev_mode: server.dev_mode,
            data: config.database.backend.to_string(),
            log: wal.map(|wal| wal.backend.to_string()),
            shards: config.shard_count().get(),
            lease_ms: config.leases.default_ms,
            dispatch: config.leases.dispatch,
            flush_interval_ms: config.flush.interval_ms,
        }
    }

    fn callers(&self) -> &'static str {
        match (self.token, self.client_certificates) {
            (true, true) => "whoever has the token and a certificate",
            (true, false) => "whoever has the token",
            (false, true) => "whoever has a certificate",
            (false, false) => "everybody",
        }
    }
}

impl Show for Plan {
    fn text(&self) -> String {
        let file = self.file.as_deref().unwrap_or("no file, only defaults");
        let over = if self.tls { "TLS" } else { "plain text" };
        let log = match &self.log {
            Some(log) => format!("in {log}"),
            None => "with the data".to_owned(),
        };
        let tenants = if self.tenancy {
            "every call names one"
        } else {
            "one, never named"
        };
        let shards = match self.shards {
            1 => "1 shard".to_owned(),
            many => format!("{many} shards"),
        };
        let dispatch = match self.dispatch {
            Dispatch::Durable => "once its lease is durable",
            Dispatch::Speculative => "at once; a crash can run an attempt twice",
        };
        let mut lines = vec![
            format!("ok: {file}"),
            format!("  listens on       {}, {over}", self.listen),
            format!("  tells clients    {}", self.advertised),
            format!("  answers          {}", self.callers()),
            format!("  tenants          {tenants}"),
            format!("  data             in {}", self.data),
            format!("  write-ahead log  {log}",),
            format!("  new data         is cut into {shards}"),
            format!(
                "  leases           last {} ms unless told otherwise",
                self.lease_ms
            ),
            format!("  a task goes out  {dispatch}"),
            format!(
                "  a flush waits    {} ms for company",
                self.flush_interval_ms
            ),
        ];
        if self.dev_mode {
            lines.push("  ResetShards      is allowed: it deletes everything".to_owned());
        }
        lines.join("\n")
    }
}
