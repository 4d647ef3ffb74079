"""What is made of hits once they are found: diversity, boosts, highlights, and the query that examples stand for."""
