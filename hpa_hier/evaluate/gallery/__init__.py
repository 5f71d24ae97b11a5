"""Gallery: pictures of each class that was missed, called wrongly and found, each sample once in the whole report."""
