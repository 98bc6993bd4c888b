"""The vendors' own libraries that verify the samples of deploy/samples."""
