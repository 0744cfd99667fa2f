//! Turns the `.proto` files into Rust. The compiler is a library, so nobody has to install one.

use std::path::PathBuf;

const FILES: [&str; 6] = [
    "rqd.proto",
    "report.proto",
    "host.proto",
    "job.proto",
    "depend.proto",
    "renderPartition.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }

    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        // The order of a map's entries on the wire is then the same every time, which makes messages comparable as bytes.
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;

    // Comments are for the generated code only; the descriptors that the crate carries do without.
    compiler.include_source_info(false);
    std::fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    Ok(())
}
