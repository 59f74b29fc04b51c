//! TLS as an operator sets it up: files, a signal, and what is said about mistakes.

#![cfg(test)]

mod process;

use std::net::SocketAddr;
use std::time::Duration;

use process::{Server, Site, silo};
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::tls::ClientTls;
use silo_tests::certificates::{Ca, Folder};
use tokio::time::{Instant, sleep};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(60);

fn files(site: &Site) -> Folder {
    Folder::new(site.folder())
}

/// The lines below `[server]` for these files.
fn lines(folder: &Folder, reload_ms: u64) -> String {
    let files = folder.files();
    format!(
        "[server.tls]\ncert = {:?}\nkey = {:?}\nreload_ms = {reload_ms}",
        files.cert, files.key
    )
}

/// A client, if the server is let in within `deadline`.
async fn connect(addr: SocketAddr, tls: ClientTls, deadline: Duration) -> Result<Client, Error> {
    let mut options = ClientOptions::new([addr.to_string()]);
    options.tls = Some(tls);
    options.call_deadline = deadline;
    Client::connect(options).await
}

/// Waits until the server says this, `times` times in all.
async fn said(server: &Server, what: &str, times: usize) -> String {
    let began = Instant::now();
    loop {
        let log = server.said();
        if log.matches(what).count() >= times {
            return log;
        }
        assert!(began.elapsed() < SOON, "never said {what:?}:\n{log}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[silo::test(flavor = "multi_thread")]
async fn sighup_replaces_the_certificate_and_refuses_a_broken_one() {
    let site = Site::new();
    let (old, new) = (Ca::new().unwrap(), Ca::new().unwrap());
    let folder = files(&site);
    folder.write(&old.sign(1).unwrap()).unwrap();
    let server = site.start_with(&lines(&folder, 0));
    let client = connect(site.addr, old.trusted(), SOON).await.unwrap();
    let id = client.enqueue(Enqueue::new("work", "")).await.unwrap();

    folder.write(&new.sign(2).unwrap()).unwrap();
    server.hang_up();
    said(&server, "new connections use them", 1).await;
    connect(site.addr, new.trusted(), SOON).await.unwrap();
    let short = Duration::from_secs(2);
    let refused = connect(site.addr, old.trusted(), short).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // The connection from before goes on.
    client.job(&id, false).await.unwrap();

    std::fs::write(folder.files().cert, "nonsense").unwrap();
    for times in 1..=2 {
        server.hang_up();
        let log = said(&server, "the TLS files are refused", times).await;
        assert!(log.contains("cert.pem holds no certificate"), "{log}");
    }
    connect(site.addr, new.trusted(), SOON).await.unwrap();
    client.job(&id, false).await.unwrap();

    // The client that trusted the wrong CA is named.
    let log = server.said();
    let is_of_peer = |line: &str| line.contains("handshake failed") && line.contains("127.0.0.1:");
    assert!(log.lines().any(is_of_peer), "{log}");
    server.terminate();
    let (status, log) = server.ended().await;
    assert!(status.success(), "{log}");
}

#[silo::test(flavor = "multi_thread")]
async fn files_that_change_are_read_again_and_a_mistake_is_said_once() {
    let site = Site::new();
    let (old, new) = (Ca::new().unwrap(), Ca::new().unwrap());
    let folder = files(&site);
    folder.write(&old.sign(1).unwrap()).unwrap();
    let server = site.start_with(&lines(&folder, 100));
    connect(site.addr, old.trusted(), SOON).await.unwrap();

    std::fs::write(folder.files().cert, "nonsense").unwrap();
    said(&server, "the TLS files are refused", 1).await;
    folder.write(&new.sign(2).unwrap()).unwrap();
    let log = said(&server, "new connections use them", 1).await;
    // The certificate may be read before its key is written, which is a mistake of its own.
    let of_nonsense = log.matches("holds no certificate").count();
    assert_eq!(of_nonsense, 1, "{log}");
    connect(site.addr, new.trusted(), SOON).await.unwrap();
}

#[silo::test]
fn mistakes_are_said_with_the_file_before_anything_starts() {
    let site = Site::new();
    let folder = files(&site);
    let refused = |more: &str| {
        let config = site.config_at(site.addr, more);
        let output = silo().args(["serve", "-c"]).arg(&config).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        // Reports are wrapped to the terminal's width.
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = refused(&lines(&folder, 0));
    assert!(said.contains("silo::serve::tls"), "{said}");
    assert!(
        said.contains("cannot read") && said.contains("cert.pem"),
        "{said}"
    );

    let ca = Ca::new().unwrap();
    folder.write(&ca.sign(1).unwrap()).unwrap();
    let other = ca.sign(2).unwrap();
    std::fs::write(folder.files().key, other.key_pem).unwrap();
    let said = refused(&lines(&folder, 0));
    assert!(said.contains("is not the key of the first"), "{said}");

    let said = refused(&lines(&folder, 5));
    assert!(said.contains("server.tls.reload_ms is 5"), "{said}");
    let said = refused("[server.tls]\ncert = \"cert.pem\"");
    assert!(said.contains("server.tls.key is missing"), "{said}");
    let said = refused(&format!("{}\ncrl = \"x\"", lines(&folder, 0)));
    assert!(said.contains("no key `crl` in [server.tls]"), "{said}");
}
