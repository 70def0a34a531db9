"""Study of the latency model: its error on networks that it was not fitted on, beside baseline predictors."""
