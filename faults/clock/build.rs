//! Compiles the preload shim, so that the one binary can carry it: with the compiler and the linker that Cargo uses, for the
//! same target. Where there is no shim (it is for Linux alone), an empty file stands for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SHIM: &str = "shim/shim.rs";
const TABLE: &str = "src/table.rs";

fn main() {
    for source in [SHIM, TABLE, "build.rs"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let out = PathBuf::from(variable("OUT_DIR")).join("clock-shim.so");
    // 32 bits have two sizes of time, and no Kafka.
    let is_for_us = variable("CARGO_CFG_TARGET_OS") == "linux"
        && variable("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
    if !is_for_us {
        std::fs::write(&out, []).expect("OUT_DIR can be written to");
        return;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--crate-name", "clock_shim", "--crate-type", "cdylib", "--edition", "2024"])
        .args(["--target", &variable("TARGET")])
        .args([
            "-C",
            "opt-level=2",
            "-C",
            "panic=abort",
            "-C",
            "lto=fat",
            "-C",
            "strip=symbols",
            "-C",
            "overflow-checks=off",
        ])
        .arg(SHIM)
        .arg("-o")
        .arg(&out);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.status().expect("Cargo names a compiler that starts");
    assert!(status.success(), "the shim of {SHIM} does not compile: {status}");
}
