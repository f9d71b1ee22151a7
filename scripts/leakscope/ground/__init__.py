"""What a corpus says beside what a model and the world say, of any two lexicons: counts, rankings, agreement."""
