// Package bench puts a server under load and measures what its users see.
//
// A [Target] speaks a protocol; a [Workload] makes requests from a seed, the same ones in every run; [Run] sends them
// under each [Load] in turn and returns a [Report], which prints itself as a table, as JSON and as one HTML page.
//
// # How latency is measured
//
// All times are the client's. In the closed loop a stream sends its next request when the last one has ended. In the
// open loop requests arrive at random, whether or not the server keeps up, and every latency counts from the moment at
// which the request was due: a client or server that falls behind cannot hide it by sending later (coordinated
// omission). How late the requests were sent is reported too.
//
//   - Time to first token (TTFT): from due to the first delta that holds a token.
//   - Inter-token latency (ITL): one for each token after the first delta. Where a delta brings k tokens at once, the
//     gap before it counts as k latencies of a k-th each, and the report says how many deltas did.
//   - Delta gap: the time between two deltas as they came, whatever they held: what a reader sees stall.
//   - Time per output token (TPOT): one for each request, the mean of its inter-token latencies.
//   - End to end (E2E): from due to the end of the stream.
//
// Latencies are those of requests that ended well. Failures are counted by status. Percentiles come from HdrHistogram
// and are exact to a thousandth of the value.
//
// Throughput is what finished requests brought, over the time from the first request to the end of the last one; the
// ramps at both ends are in it. Decode throughput is what came, over the time, while every stream of a closed loop was past its
// first token: the speed of decoding apart from prompts. Goodput counts only requests that kept the objectives of [SLO].
package bench
