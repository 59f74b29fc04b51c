//! The page on TLS does what it says: its commands make certificates that server and client take.

#![cfg(test)]

mod process;

use std::process::Command;
use std::time::Duration;

use process::Site;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::tls::{ClientIdentity, ClientTls};

const PAGE: &str = include_str!("../../docs/guides/tls.md");

/// What stands between this and the end of the block.
fn block(begin: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(begin).unwrap();
    rest.split_once("\n```").unwrap().0
}

#[silo::test(flavor = "multi_thread")]
async fn the_commands_and_keys_of_the_page_on_tls_work_as_they_stand() {
    let site = Site::new();
    let made = Command::new("sh")
        .args(["-ec", block("```sh\n")])
        .current_dir(site.folder())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let folder = format!("{}/", site.folder().display());
    let lines = block("```toml\n").replace("/etc/silo/", &folder);
    let lines = lines.replace("# client_ca", "client_ca");
    let server = site.start_with(&lines);

    let read = |name: &str| std::fs::read(site.folder().join(name)).unwrap();
    let mut tls = ClientTls::new(read("ca.pem"));
    tls.identity = Some(ClientIdentity {
        cert_pem: read("client.pem").into(),
        key_pem: read("client.key").into(),
    });
    let mut options = ClientOptions::new([format!("localhost:{}", site.addr.port())]);
    options.call_deadline = Duration::from_secs(60);
    options.tls = Some(tls.clone());
    let client = Client::connect(options.clone()).await.unwrap();
    client.enqueue(Enqueue::new("work", "")).await.unwrap();

    tls.identity = None;
    options.tls = Some(tls);
    options.call_deadline = Duration::from_secs(2);
    let refused = Client::connect(options).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");

    server.terminate();
    let (status, said) = server.ended().await;
    assert!(status.success(), "{said}");
}
