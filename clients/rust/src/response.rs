//! Shorter ways to what answers hold.

use crate::v1::{GenerateResponse, Timings, Usage};

impl GenerateResponse {
    /// The text of the first output.
    pub fn text(&self) -> &str {
        self.outputs.first().map_or("", |output| &output.text)
    }

    /// Tokens counted.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    /// Where the time went, measured in the server.
    pub fn timings(&self) -> Timings {
        self.timings.unwrap_or_default()
    }
}
