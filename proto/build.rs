//! Compiles the `.proto` files of this folder. `protox` is a compiler in Rust, so no `protoc` has to be installed.

use std::path::PathBuf;
use std::{env, error, fs};

use prost::Message as _;

const FILES: [&str; 6] =
    ["rqd.proto", "report.proto", "host.proto", "job.proto", "depend.proto", "render_partition.proto"];

fn main() -> Result<(), Box<dyn error::Error>> {
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
