/**
 * The Java client of Sluice, a gRPC inference server for language models.
 *
 * <p>It is thin: requests and responses are the generated messages of {@link io.sluiceml.v1}, of which every field can be
 * set. It adds connections with TLS and keys ({@link io.sluiceml.client.SluiceClient}), streams that one iterates over
 * ({@link io.sluiceml.client.GenerateStream}) or subscribes to, and errors with their details
 * ({@link io.sluiceml.client.SluiceException}). What it has no method for is called by the generated stubs over
 * {@link io.sluiceml.client.Calls#channel}.
 */
package io.sluiceml.client;
