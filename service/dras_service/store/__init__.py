"""What must survive a crash: SQL rows with their transactions, and blobs."""
