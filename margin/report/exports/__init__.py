"""What other tools take of a report: evaluation records, a model card's block, points for an atlas."""
