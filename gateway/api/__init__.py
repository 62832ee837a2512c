"""One file a protocol, each thin over the pipeline."""
