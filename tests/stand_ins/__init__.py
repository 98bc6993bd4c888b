"""Stand-ins of other systems: providers' APIs, Google's documents, receivers, a collector, a bus."""
