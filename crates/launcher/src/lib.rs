//! Starts a stock Kafka node from rendered configuration.
