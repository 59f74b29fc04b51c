//! What `silo dev` says once every shard is open: where it listens, where the data is, and what to
//! do next.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;
use crate::output::Show;

/// Where commands look for a server that is not named.
const ADDR_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7450);
/// What commands call a tenant, where there must be one.
const TENANT: &str = "acme";

/// A server that is ready.
#[derive(Serialize)]
pub(crate) struct Ready {
    /// Where it listens.
    addr: SocketAddr,
    /// Where its data is kept.
    data: String,
    shards: usize,
    #[serde(skip)]
    has_tenancy: bool,
    /// How it was called.
    #[serde(skip)]
    program: String,
}

impl Ready {
    pub(crate) fn new(config: &Config, addr: SocketAddr, shards: usize) -> Self {
        let data = config.database.backend.to_string();
        let absolute = std::path::absolute(PathBuf::from(&data));
        let program = std::env::args_os().next();
        let program = program.and_then(|program| program.into_string().ok());
        Self {
            addr,
            data: absolute.map_or(data, |path| path.display().to_string()),
            shards,
            has_tenancy: config.tenancy.enabled,
            program: program.unwrap_or_else(|| "silo".to_owned()),
        }
    }

    /// The flags that commands need to reach it.
    fn flags(&self) -> String {
        let mut flags = String::new();
        let reached = match self.addr.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(ADDR_DEFAULT.ip(), self.addr.port()),
            _ => self.addr,
        };
        if reached != ADDR_DEFAULT {
            flags.push_str(&format!(" --server {reached}"));
        }
        if self.has_tenancy {
            flags.push_str(&format!(" --tenant {TENANT}"));
        }
        flags
    }
}

impl Show for Ready {
    fn text(&self) -> String {
        let Self {
            addr,
            data,
            shards,
            program,
            ..
        } = self;
        let flags = self.flags();
        // A worker takes the jobs of all tenants.
        let server = flags.split(" --tenant").next().unwrap_or_default();
        let shards = match shards {
            1 => "1 shard".to_owned(),
            count => format!("{count} shards"),
        };
        format!(
            "Silo listens on {addr}. Its data is in {data} ({shards}), and stays there.\n\n\
             In another terminal, enqueue a job, run a command for it, and see its result:\n\n  \
             id=$({program} job enqueue{flags} --task-group hello '{{\"name\": \"Ada\"}}')\n  \
             {program} work{server} --task-group hello --max-jobs 1 \
             --exec 'read payload; echo \"{{\\\"greeted\\\": $payload}}\"'\n  \
             {program} job result{flags} \"$id\"\n\n\
             `{program} --help` shows the rest. Ctrl-C stops the server.",
        )
    }
}
