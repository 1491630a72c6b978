"""What every long piece of work shares: reports, progress, stages, workers, durable writes."""
