"""What texts say of a model: match rates and Leak-Rates, with their exact values, comparisons and limits."""
