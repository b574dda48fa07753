-- What came of the cases of a submission, which is what its submitter looks at first.
-- {"rejected": 2, "months": {"202010": {"accepted_without_errors": 40, "accepted_with_errors": 3}}}:
-- lines refused, and cases stored by reporting month. Null for runs that ended before there was a column.
alter table parse_file_meta
    add column cases jsonb,
    add constraint cases_of_a_success check (cases is null or status = 'success' and jsonb_typeof(cases) = 'object');
