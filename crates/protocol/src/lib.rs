//! Kafka's wire format: schemas as data, bounded decoding, frames and record batches.
