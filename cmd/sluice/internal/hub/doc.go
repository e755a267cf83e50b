// Package hub fetches checkpoints by name from a hub that speaks the protocol of huggingface.co.
//
// # Protocol
//
// A reference such as hf://owner/name@revision is resolved to a commit (api/models/…/revision/…), whose files are listed
// with their sizes and hashes (api/models/…/tree/…). Those that a conversion needs are fetched one by one
// (…/resolve/COMMIT/FILE, which may redirect to another host) into a folder of the cache that is named after the commit.
//
// # What is promised
//
// A file appears under its name only whole and with the hash that the listing gave: SHA-256 of large files, the hash of
// git's object of small ones. What was fetched before an interruption is kept and continued, in another process too; a
// file lock keeps two processes from fetching the same commit at once. Names that would leave the folder are refused,
// and no more is read than the listing says. The token goes to the hub's own host only.
package hub
