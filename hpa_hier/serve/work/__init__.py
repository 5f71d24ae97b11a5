"""Work: jobs, the threads that read their images, and the engine that answers for them."""
