//! Profiles and dumps, over the network.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use flate2::read::GzDecoder;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::proto::silo_client::SiloClient;
use silo_runtime::proto::{CpuProfileRequest, DumpTasksRequest, HeapProfileRequest};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::process::{Server, Site};

/// A client that makes calls as they are, once the server answers.
async fn raw(server: &Server, addr: SocketAddr) -> SiloClient<Channel> {
    server.client().await;
    SiloClient::connect(format!("http://{addr}")).await.unwrap()
}

/// What is compressed in a profile. Names stand in it as they are.
fn unpacked(profile: &[u8]) -> String {
    let mut bytes = Vec::new();
    GzDecoder::new(profile).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[silo::test(flavor = "multi_thread")]
async fn a_cpu_profile_names_what_ran() {
    let site = Site::new();
    let server = site.start();
    let mut raw = raw(&server, site.addr).await;
    let client = server.client().await;
    let load = tokio::spawn(async move {
        loop {
            client.enqueue(Enqueue::new("work", "")).await.unwrap();
        }
    });
    let request = CpuProfileRequest {
        duration_seconds: 2,
        frequency: 500,
    };
    let mut other = raw.clone();
    let (one, other) = tokio::join!(raw.cpu_profile(request), other.cpu_profile(request));
    load.abort();
    let (profile, refused) = match (one, other) {
        (Ok(profile), Err(refused)) | (Err(refused), Ok(profile)) => (profile, refused),
        both => panic!("one at a time, and not {both:?}"),
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let profile = profile.into_inner();
    // A busy machine wakes it late, and it says so.
    assert!(profile.duration_seconds >= 2, "{profile:?}");
    assert!(profile.samples > 0, "{profile:?}");
    let names = unpacked(&profile.profile_data);
    assert!(names.contains("tokio::runtime"), "{} bytes", names.len());
}

#[silo::test(flavor = "multi_thread")]
async fn a_profile_ends_before_its_callers_deadline() {
    let site = Site::new();
    let server = site.start();
    let mut raw = raw(&server, site.addr).await;
    // By default it takes half a minute.
    let mut request = Request::new(CpuProfileRequest::default());
    request.set_timeout(Duration::from_secs(5));
    let profile = raw.cpu_profile(request).await.unwrap().into_inner();
    assert!(
        profile.duration_seconds <= 5,
        "{}",
        profile.duration_seconds
    );
}

#[silo::test(flavor = "multi_thread")]
async fn a_heap_profile_is_off_unless_the_server_was_started_for_it() {
    let site = Site::new();
    let server = site.start();
    let mut raw = raw(&server, site.addr).await;
    let request = HeapProfileRequest {
        duration_seconds: 1,
    };
    let off = raw.heap_profile(request).await.expect_err("it is off");
    assert_eq!(off.code(), Code::FailedPrecondition, "{off:?}");
    assert!(
        off.message().contains("_RJEM_MALLOC_CONF=prof:true"),
        "{off:?}"
    );
}

#[silo::test(flavor = "multi_thread")]
async fn a_heap_profile_names_what_allocates() {
    let site = Site::new();
    let environment = [(
        "_RJEM_MALLOC_CONF",
        "prof:true,prof_active:false,lg_prof_sample:12",
    )];
    let server = site.start_within(&environment);
    let mut raw = raw(&server, site.addr).await;
    let client = server.client().await;
    let load = tokio::spawn(async move {
        loop {
            client.enqueue(Enqueue::new("work", "")).await.unwrap();
        }
    });
    let request = HeapProfileRequest {
        duration_seconds: 1,
    };
    let profile = raw.heap_profile(request).await.unwrap().into_inner();
    load.abort();
    assert!(
        profile.duration_seconds >= 1,
        "{}",
        profile.duration_seconds
    );
    let names = unpacked(&profile.profile_data);
    assert!(names.contains("silo_runtime::"), "{} bytes", names.len());
    // It can be taken again.
    raw.heap_profile(request).await.unwrap();
}

#[silo::test(flavor = "multi_thread")]
async fn a_dump_tells_what_the_server_is_doing() {
    let site = Site::new();
    let server = site.start();
    let mut raw = raw(&server, site.addr).await;
    let client = server.client().await;
    client.enqueue(Enqueue::new("work", "")).await.unwrap();
    let dump = raw
        .dump_tasks(DumpTasksRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(dump.task_count > 0, "{dump:?}");
    let told: serde_json::Value = serde_json::from_str(&dump.dump).unwrap();
    assert_eq!(told["shards"][0]["state"], "open", "{told}");
    assert_eq!(told["shards"][0]["jobs"]["scheduled"], 1, "{told}");
    assert_eq!(told["calls_in_flight"]["DumpTasks"], 1, "{told}");
    assert_eq!(told["tasks"]["alive"], dump.task_count, "{told}");
}

#[silo::test(flavor = "multi_thread")]
async fn none_of_them_is_for_strangers() {
    let site = Site::new();
    let server = site.start_with("token = \"secret\"");
    let mut options = ClientOptions::new([site.addr.to_string()]);
    options.token = Some("secret".to_owned());
    Client::connect(options).await.unwrap();
    let mut raw = SiloClient::connect(format!("http://{}", site.addr))
        .await
        .unwrap();
    let cpu = raw
        .cpu_profile(CpuProfileRequest::default())
        .await
        .map(|_| ());
    let heap = raw
        .heap_profile(HeapProfileRequest::default())
        .await
        .map(|_| ());
    let dump = raw.dump_tasks(DumpTasksRequest {}).await.map(|_| ());
    for refused in [cpu, heap, dump] {
        let refused = refused.expect_err("no token was shown");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    drop(server);
}
