//! Generates the Rust side of `proto/silo.proto`, without needing `protoc`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost::Message;
use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());

    let mut compiler = Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("silo.proto")?;
    let described = compiler.file_descriptor_set();

    // Reflection serves the descriptors as they are, the comments included.
    fs::write(out.join("silo_descriptor.bin"), described.encode_to_vec())?;

    // Names of metrics and spans come from this closed set.
    let services = described.file.iter().flat_map(|file| &file.service);
    let methods: Vec<_> = services
        .flat_map(|service| &service.method)
        .map(|method| method.name())
        .collect();
    fs::write(out.join("methods.rs"), format!("&{methods:?}"))?;

    tonic_prost_build::configure()
        // Payloads are passed on without a copy.
        .bytes(".")
        // Encoding the same message twice gives the same bytes.
        .btree_map(".")
        .compile_fds(described)?;
    Ok(())
}
