//! Measures the crate bpe-openai for compare.py as ../main.go measures package tokenizer, and prints a line of JSON.
//!
//!     cargo run --release -- cl100k|o200k TEXT DOCUMENT PASSES

use std::{env, fs, process};

/// The processor's time that this process's only thread took, in seconds.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Cuts a text into documents of whole lines, each of at least so many bytes.
fn documents(text: &str, size: usize) -> Vec<&str> {
    let (mut all, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        if end - start >= size {
            all.push(&text[start..end]);
            start = end;
        }
    }
    if start < end {
        all.push(&text[start..]);
    }
    all
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.len() != 4 {
        eprintln!("usage: bpe_openai_benchmark cl100k|o200k TEXT DOCUMENT PASSES");
        process::exit(2);
    }
    let tokenizer = match args[0].as_str() {
        "cl100k" => bpe_openai::cl100k_base(),
        _ => bpe_openai::o200k_base(),
    };
    let text = fs::read_to_string(&args[1]).expect("a text in UTF-8");
    let documents = documents(&text, args[2].parse().expect("a size"));
    let (mut seconds, mut tokens) = (Vec::new(), 0);
    for _ in 0..args[3].parse().expect("a number of passes") {
        let start = cpu();
        tokens = documents.iter().map(|d| tokenizer.encode(*d).len()).sum();
        seconds.push((cpu() - start).to_string());
    }
    println!(
        "{{\"name\":\"bpe-openai\",\"bytes\":{},\"documents\":{},\"tokens\":{},\"seconds\":[{}]}}",
        text.len(),
        documents.len(),
        tokens,
        seconds.join(",")
    );
}
