-- A reparse of some files, and a forced one of all of them.
select * from enqueue_reparse('{"program": "tanf"}', requested_by => 'bo', reason => 'new rules');
select * from enqueue_reparse('{"all": true}', requested_by => 'bo', force => true);
