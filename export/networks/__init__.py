"""Gene networks: read, drawn at random, made for cells, or made of paired RNA and ATAC."""
