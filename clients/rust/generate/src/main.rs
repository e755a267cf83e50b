//! Makes `src/gen` of sluice-client from the protos of the repository, without protoc. With `--check` it fails if what is there
//! is not up to date. It is a package of its own so that it can be built when the client cannot.

use std::error::Error;
use std::{env, fs, path::Path};

use prost::Message;

const PROTOS: [&str; 4] =
    ["sluice/v1/inference.proto", "sluice/v1/models.proto", "sluice/v1/sampling.proto", "sluice/v1/tokenizer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let check = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [argument] if argument == "--check" => true,
        _ => return Err("usage: generate [--check]".into()),
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = package.join("../src/gen");
    let committed = out.join("sluice.v1.rs");
    let before = fs::read_to_string(&committed).unwrap_or_default();

    let files = protox::compile(PROTOS, [package.join("../../../proto")])?;
    // protox may have another version of prost-types than the generator: the bytes are the same.
    let files = prost_types::FileDescriptorSet::decode(&*files.encode_to_vec())?;
    fs::create_dir_all(&out)?;
    tonic_prost_build::configure().build_server(false).emit_rerun_if_changed(false).out_dir(&out).compile_fds(files)?;

    if check && fs::read_to_string(&committed)? != before {
        return Err("the generated code was not up to date; it is now".into());
    }
    Ok(())
}
