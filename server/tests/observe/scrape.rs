//! Metrics as Prometheus would read them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What was served.
pub(crate) struct Scraped {
    /// The kind of each metric.
    pub(crate) kinds: BTreeMap<String, String>,
    /// The value of each series, by its name and labels.
    pub(crate) values: BTreeMap<String, f64>,
}

/// Asks for a path.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Reads the metrics of a server.
pub(crate) async fn scrape(addr: SocketAddr) -> Scraped {
    let answer = get(addr, "/metrics").await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.trim_end().ends_with("# EOF"), "the end is missing");
    let mut scraped = Scraped {
        kinds: BTreeMap::new(),
        values: BTreeMap::new(),
    };
    for line in body.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let before = scraped.kinds.insert(name.to_owned(), kind.to_owned());
            assert_eq!(before, None, "{name} twice");
        } else if !line.starts_with('#')
            && let Some((series, value)) = line.rsplit_once(' ')
        {
            scraped
                .values
                .insert(series.to_owned(), value.parse().unwrap());
        }
    }
    scraped
}

impl Scraped {
    /// The sum of all series of a name whose labels have these in them.
    pub(crate) fn sum(&self, name: &str, labels: &str) -> f64 {
        let of_name = |series: &str| {
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then(|| rest.contains(labels))
        };
        let matching = self.values.iter();
        let matching = matching.filter(|(series, _)| of_name(series) == Some(true));
        matching.map(|(_, value)| value).sum()
    }
}
