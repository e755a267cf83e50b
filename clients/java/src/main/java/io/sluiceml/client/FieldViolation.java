package io.sluiceml.client;

import java.io.Serializable;

/**
 * One wrong field of a request.
 *
 * @param field its path in the request, such as {@code sampling.top_p}
 * @param description what is wrong, and what is allowed
 */
public record FieldViolation(String field, String description) implements Serializable {}
