"""Remote: files of buckets and web servers, and the folder of what was fetched or made here."""
