//! TLS on the gRPC port: who gets in, what is presented, and what a reload changes.

#![cfg(test)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::tls::ClientTls;
use silo_runtime::service::ServiceOptions;
use silo_runtime::service::tls::files::TlsFiles;
use silo_runtime::service::tls::{Reloaded, Tls, TlsLimits};
use silo_tests::certificates::{Ca, Folder, Signed};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(30);

async fn start(tls: &Arc<Tls>) -> Result<Server, Trouble> {
    Server::start(Setup {
        tls: Some(Arc::clone(tls)),
        ..Setup::default()
    })
    .await
}

fn load(files: TlsFiles) -> Result<Arc<Tls>, Trouble> {
    Ok(Arc::new(Tls::load(files, TlsLimits::default())?))
}

fn options(address: SocketAddr, tls: Option<ClientTls>) -> ClientOptions {
    let mut options = ClientOptions::new([address.to_string()]);
    options.tls = tls;
    options
}

/// A client that tries for long, for a server that will let it in.
async fn connect(address: SocketAddr, tls: ClientTls) -> Result<Client, Error> {
    Client::connect(options(address, Some(tls))).await
}

/// Why a client is not let in. Nothing gets better by trying for long.
async fn refused(address: SocketAddr, tls: Option<ClientTls>) -> String {
    let mut options = options(address, tls);
    options.call_deadline = Duration::from_secs(2);
    match Client::connect(options).await {
        Err(Error::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// What a caller is that trusts this CA.
fn caller(ca: &Ca) -> Result<TlsConnector, Trouble> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config).into())
}

/// A connection of a caller.
async fn call(caller: &TlsConnector, to: SocketAddr) -> Result<TlsStream<TcpStream>, Trouble> {
    let socket = TcpStream::connect(to).await?;
    let stream = caller.connect(ServerName::from(to.ip()), socket);
    Ok(timeout(SOON, stream).await??)
}

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr, ca: &Ca) -> Result<CertificateDer<'static>, Trouble> {
    let stream = call(&caller(ca)?, address).await?;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    let chain = session.peer_certificates().ok_or("a certificate")?;
    Ok(chain.first().ok_or("a certificate")?.clone())
}

#[silo::test]
async fn a_client_that_trusts_the_ca_follows_the_layout_and_calls() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let service = ServiceOptions {
        token: Some("secret".to_owned()),
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        tls: Some(load(folder.files())?),
        shards: 4,
        tenancy: true,
        service,
        ..Setup::default()
    })
    .await?;
    let mut options = options(server.address, Some(ca.trusted()));
    options.token = Some("secret".to_owned());
    let client = Client::connect(options.clone()).await?;
    // Tenants of several shards, reached at the addresses that the layout tells.
    for tenant in ["a", "b", "c", "d"] {
        let client = client.with_tenant(tenant);
        let id = client.enqueue(Enqueue::new("work", "")).await?;
        assert_eq!(client.job(&id, false).await?.id, id);
    }
    options.token = Some("wrong".to_owned());
    match Client::connect(options).await {
        Err(Error::Refused(_)) => {}
        other => panic!("{other:?}"),
    }
    server.stop().await
}

#[silo::test]
async fn plain_text_is_refused() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let server = start(&load(folder.files())?).await?;
    refused(server.address, None).await;

    // The other side is told nothing but an alert.
    let mut socket = TcpStream::connect(server.address).await?;
    socket
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    timeout(SOON, socket.read_to_end(&mut answer)).await??;
    const ALERT: u8 = 21;
    assert_eq!(answer.first(), Some(&ALERT), "{answer:?}");
    assert_eq!(answer.len(), 7, "{answer:?}");

    connect(server.address, ca.trusted()).await?;
    server.stop().await
}

#[silo::test]
async fn a_client_refuses_another_ca_and_another_name_and_says_why() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let server = start(&load(folder.files())?).await?;
    let why = refused(server.address, Some(Ca::new()?.trusted())).await;
    assert!(why.contains("invalid peer certificate"), "{why}");

    let mut named = ca.trusted();
    named.domain = Some("other.test".to_owned());
    let why = refused(server.address, Some(named.clone())).await;
    assert!(why.contains("not valid for name"), "{why}");
    named.domain = Some("silo.test".to_owned());
    connect(server.address, named).await?;
    server.stop().await
}

#[silo::test]
async fn with_a_client_ca_callers_need_a_certificate_of_it() -> Result<(), Trouble> {
    let (ca, callers, place) = (Ca::new()?, Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    folder.write_client_ca(&callers)?;
    let server = start(&load(folder.mutual())?).await?;

    let why = refused(server.address, Some(ca.trusted())).await;
    assert!(why.contains("CertificateRequired"), "{why}");
    let mut stranger = ca.trusted();
    stranger.identity = Some(ca.sign(2)?.identity());
    refused(server.address, Some(stranger)).await;

    let mut caller = ca.trusted();
    caller.identity = Some(callers.sign(3)?.identity());
    let client = connect(server.address, caller).await?;
    client.enqueue(Enqueue::new("work", "")).await?;
    server.stop().await
}

#[silo::test]
async fn after_a_reload_new_connections_get_the_new_certificate_and_open_ones_go_on()
-> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    let (old, new) = (ca.sign(1)?, ca.sign(2)?);
    folder.write(&old)?;
    let tls = load(folder.files())?;
    let server = start(&tls).await?;
    let client = connect(server.address, ca.trusted()).await?;
    let before = client.enqueue(Enqueue::new("work", "")).await?;
    assert_eq!(shown(server.address, &ca).await?, old.der);
    assert_eq!(tls.reload()?, Reloaded::Unchanged);

    // Of another CA, so that the client could not connect anew.
    let other = Ca::new()?;
    let newest = other.sign(3)?;
    for (signed, ca) in [(&new, &ca), (&newest, &other)] {
        folder.write(signed)?;
        assert_eq!(tls.reload()?, Reloaded::Replaced);
        assert_eq!(shown(server.address, ca).await?, signed.der);
    }
    refused(server.address, Some(ca.trusted())).await;
    assert_eq!(client.job(&before, false).await?.id, before);
    server.stop().await
}

#[silo::test]
async fn a_reload_replaces_the_client_ca() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let (old, new) = (Ca::new()?, Ca::new()?);
    folder.write_client_ca(&old)?;
    let tls = load(folder.mutual())?;
    let server = start(&tls).await?;
    let caller = |of: &Ca| -> Result<ClientTls, Trouble> {
        let mut caller = ca.trusted();
        caller.identity = Some(of.sign(2)?.identity());
        Ok(caller)
    };
    connect(server.address, caller(&old)?).await?;
    refused(server.address, Some(caller(&new)?)).await;
    folder.write_client_ca(&new)?;
    assert_eq!(tls.reload()?, Reloaded::Replaced);
    connect(server.address, caller(&new)?).await?;
    refused(server.address, Some(caller(&old)?)).await;
    server.stop().await
}

#[silo::test]
async fn a_broken_file_is_refused_and_the_old_certificate_stays() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    let (old, new) = (ca.sign(1)?, ca.sign(2)?);
    folder.write(&old)?;
    folder.write_client_ca(&ca)?;
    let tls = load(folder.files())?;
    let server = start(&tls).await?;
    let cert = folder.files().cert;
    for (text, expected) in broken(&old, &new) {
        std::fs::write(&cert, text)?;
        let error = tls.reload().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("cert.pem"), "{error}");
        assert_eq!(shown(server.address, &ca).await?, old.der);
    }
    std::fs::write(&cert, &old.cert_pem)?;
    assert_eq!(tls.reload()?, Reloaded::Unchanged);
    server.stop().await
}

/// What may stand in a certificate's file instead of a certificate of the key, and what is said.
fn broken(old: &Signed, new: &Signed) -> Vec<(String, &'static str)> {
    let half = |text: &str| text.lines().take(4).collect::<Vec<_>>().join("\n");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    vec![
        (String::new(), "holds no certificate"),
        (old.key_pem.clone(), "holds no certificate"),
        (half(&old.cert_pem), "is not valid PEM"),
        (new.cert_pem.clone(), "is not the key of the first"),
        (nonsense.to_owned(), "certificate 1 cannot be used"),
        (format!("{}{nonsense}", old.cert_pem), "certificate 2"),
        ("x".repeat((1 << 20) + 1), "is larger than"),
    ]
}

#[silo::test]
fn wrong_keys_and_missing_files_are_named() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    let said = |files: TlsFiles| Tls::load(files, TlsLimits::default()).map_err(|e| e.to_string());
    let missing = said(folder.files()).expect_err("no file");
    assert!(missing.contains("cert.pem") && missing.contains("cannot read"));

    let signed = ca.sign(1)?;
    folder.write(&signed)?;
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, expected) in [
        (signed.cert_pem.as_str(), "holds no private key"),
        (locked, "passphrase"),
        (empty, "the key cannot be used"),
    ] {
        std::fs::write(folder.files().key, text)?;
        let error = said(folder.files()).expect_err(expected);
        assert!(
            error.contains("key.pem") && error.contains(expected),
            "{error}"
        );
    }
    folder.write(&signed)?;
    std::fs::write(place.path().join("client-ca.pem"), &signed.key_pem)?;
    let error = said(folder.mutual()).expect_err("no CA");
    assert!(
        error.contains("client-ca.pem holds no certificate"),
        "{error}"
    );
    Ok(())
}

#[silo::test]
async fn a_caller_that_says_nothing_holds_nobody_up_and_is_let_go() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let limits = TlsLimits {
        handshakes_max: 2,
        ..TlsLimits::default()
    };
    let patient = Arc::new(Tls::load(folder.files(), limits)?);
    let server = start(&patient).await?;
    let mut silent = TcpStream::connect(server.address).await?;
    // Well before the silent one is let go.
    timeout(
        Duration::from_secs(8),
        connect(server.address, ca.trusted()),
    )
    .await??;
    let nothing = timeout(Duration::from_millis(1), silent.read_u8()).await;
    assert!(nothing.is_err(), "the silent one is still waited for");
    server.stop().await?;

    let limits = TlsLimits {
        handshakes_max: 2,
        handshake_max: Duration::from_millis(100),
    };
    let hasty = Arc::new(Tls::load(folder.files(), limits)?);
    let server = start(&hasty).await?;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(server.address).await?);
    }
    // More than there are places: the last waits for those before it, and not for ever.
    timeout(SOON, connect(server.address, ca.trusted())).await??;
    for mut socket in silent {
        let ended = timeout(SOON, socket.read_u8()).await?;
        assert!(ended.is_err(), "closed without a word");
    }
    server.stop().await
}

#[silo::test]
async fn whoever_comes_again_is_checked_again() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let folder = Folder::new(place.path());
    folder.write(&ca.sign(1)?)?;
    let server = start(&load(folder.files())?).await?;
    let caller = caller(&ca)?;
    for _ in 0..2 {
        let mut stream = call(&caller, server.address).await?;
        // Tickets would come before the first byte.
        timeout(SOON, stream.read_u8()).await??;
        let (_, session) = stream.get_ref();
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
    }
    server.stop().await
}

#[silo::test]
async fn a_clients_wrong_options_are_named_before_it_connects() -> Result<(), Trouble> {
    let ca = Ca::new()?;
    let (one, other) = (ca.sign(1)?, ca.sign(2)?);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut no_ca = ca.trusted();
    no_ca.ca_pem = one.key_pem.clone().into();
    let mut no_name = ca.trusted();
    no_name.domain = Some("no name".to_owned());
    let mut no_key = ca.trusted();
    no_key.identity = Some(one.identity());
    if let Some(identity) = &mut no_key.identity {
        identity.key_pem = one.cert_pem.clone().into();
    }
    let mut mismatch = ca.trusted();
    mismatch.identity = Some(one.identity());
    if let Some(identity) = &mut mismatch.identity {
        identity.key_pem = other.key_pem.clone().into();
    }
    for (tls, expected) in [
        (no_ca, "tls.ca_pem holds no certificate"),
        (no_name, "tls.domain"),
        (no_key, "tls.identity.key_pem holds no private key"),
        (mismatch, "KeyMismatch"),
    ] {
        match connect(nobody, tls).await {
            Err(Error::Options(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    Ok(())
}

#[silo::test]
fn secrets_are_not_printed() -> Result<(), Trouble> {
    let (ca, place) = (Ca::new()?, tempfile::tempdir()?);
    let signed = ca.sign(1)?;
    let folder = Folder::new(place.path());
    folder.write(&signed)?;
    let mut tls = ca.trusted();
    tls.identity = Some(signed.identity());
    let client = options(SocketAddr::from(([127, 0, 0, 1], 1)), Some(tls));
    let secret = signed.key_pem.lines().nth(1).ok_or("a line")?.to_owned();
    let printed = format!("{client:?} {:?}", load(folder.files())?);
    assert!(!printed.contains(&secret), "{printed}");
    assert!(printed.contains(&Path::new("key.pem").display().to_string()));
    Ok(())
}
