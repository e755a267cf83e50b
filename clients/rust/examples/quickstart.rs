//! The README's example, with the server's address as its argument.

use futures::TryStreamExt;
use sluice_client::{Client, GenerateRequest, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::new(&std::env::args().nth(1).expect("usage: quickstart HOST:PORT"))?;
    let request = GenerateRequest::new([Message::user("Name three rivers.")]).with_max_tokens(64);
    let mut stream = client.stream(request).await?;
    while let Some(delta) = stream.try_next().await? {
        print!("{}", delta.text);
    }
    println!("\n{} tokens", stream.usage().unwrap_or_default().completion_tokens);
    Ok(())
}
