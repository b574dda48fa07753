-- A moment up to which nothing ended, so that what ends later is counted beside it.
update run_tally set through = now() - interval '1 hour', runs = '{"success": 1, "crash": 1}';
