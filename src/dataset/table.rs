//! The table of problems as a Parquet file: its columns, and how runs become rows.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::store::problem_file_run::{FiledKind, FiledRun};

/// The columns. Program, fiscal year and quarter are in the path. A run has one row for each kind of problem, or one
/// without a kind if it has no problem. There is no column for a message or a value, so none can get in.
const COLUMNS: &str = "message problems {
    required binary run (STRING);
    required int64 file;
    optional int64 reparse;
    required int32 attempt;
    required binary section (STRING);
    optional binary state (STRING);
    required int64 started (TIMESTAMP(MICROS,true));
    optional int64 archived (TIMESTAMP(MICROS,true));
    optional int32 category;
    optional binary record_type (STRING);
    optional binary item (STRING);
    optional binary field (STRING);
    optional boolean deprecated;
    required int64 problems;
}";

/// Rows that are in memory at once: those of one row group.
const GROUP: usize = 100_000;

/// All problems of a run together.
const ALL_KINDS: i32 = 0;

/// Writes the table into a file.
pub(super) struct ProblemTable {
    writer: SerializedFileWriter<File>,
    kinds: HashMap<i32, FiledKind>,
    rows: Rows,
}

/// The values of a column that may be absent.
#[derive(Default)]
struct Sparse<T> {
    values: Vec<T>,
    /// 1 for each row that has a value, 0 for each that has none.
    levels: Vec<i16>,
}

#[derive(Default)]
struct Rows {
    run: Vec<ByteArray>,
    file: Vec<i64>,
    reparse: Sparse<i64>,
    attempt: Vec<i32>,
    section: Vec<ByteArray>,
    state: Sparse<ByteArray>,
    started: Vec<i64>,
    archived: Sparse<i64>,
    category: Sparse<i32>,
    record_type: Sparse<ByteArray>,
    item: Sparse<ByteArray>,
    field: Sparse<ByteArray>,
    deprecated: Sparse<bool>,
    problems: Vec<i64>,
}

impl ProblemTable {
    /// Begins the table in an empty file.
    pub(super) fn begin(file: File) -> Result<Self> {
        let schema = Arc::new(parse_message_type(COLUMNS).context("the columns can't be read")?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("parselog ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties));
        let writer = writer.context("failed to begin a Parquet file")?;
        Ok(Self { writer, kinds: HashMap::new(), rows: Rows::default() })
    }

    /// The kinds of these runs that are not known yet.
    pub(super) fn unknown_kinds(&self, runs: &[FiledRun]) -> Vec<i32> {
        let mut ids: Vec<i32> = runs.iter().flat_map(|run| run.kinds.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| *id != ALL_KINDS && !self.kinds.contains_key(id));
        ids
    }

    /// Adds the runs, whose kinds are known or among `kinds`. It blocks whenever a row group is full.
    pub(super) fn add(&mut self, runs: &[FiledRun], kinds: Vec<FiledKind>) -> Result<()> {
        self.kinds.extend(kinds.into_iter().map(|kind| (kind.id, kind)));
        for run in runs {
            let counts = run.kinds.iter().zip(&run.problems).filter(|(kind, _)| **kind != ALL_KINDS);
            let name = ByteArray::from(run.run_id.to_string().into_bytes());
            let mut has_problems = false;
            for (kind, problems) in counts {
                let kind = self.kinds.get(kind).context("a kind of problems is gone")?;
                self.rows.add(run, &name, Some(kind), *problems);
                has_problems = true;
            }
            if !has_problems {
                self.rows.add(run, &name, None, 0);
            }
            if self.rows.run.len() >= GROUP {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.close().context("failed to complete a Parquet file")?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if !rows.run.is_empty() {
            let mut group = self.writer.next_row_group().context("failed to begin a row group")?;
            rows.write(&mut group)?;
            group.close().context("failed to end a row group")?;
        }
        Ok(())
    }
}

impl Rows {
    fn add(&mut self, run: &FiledRun, name: &ByteArray, kind: Option<&FiledKind>, problems: i64) {
        self.run.push(name.clone());
        self.file.push(run.data_file_id.0);
        self.reparse.push(run.reparse_id.map(|id| id.0));
        self.attempt.push(run.attempt);
        self.section.push(run.section.as_str().into());
        self.state.push(text(&run.state));
        self.started.push(run.started.timestamp_micros());
        self.archived.push(run.archived.map(|at| at.timestamp_micros()));
        self.category.push(kind.map(|kind| kind.category.into()));
        self.record_type.push(kind.and_then(|kind| text(&kind.record_type)));
        self.item.push(kind.and_then(|kind| text(&kind.item)));
        self.field.push(kind.and_then(|kind| text(&kind.field)));
        self.deprecated.push(kind.map(|kind| kind.deprecated));
        self.problems.push(problems);
    }

    /// In the order of the columns.
    fn write(self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()> {
        column::<ByteArrayType>(group, &self.run, None)?;
        column::<Int64Type>(group, &self.file, None)?;
        self.reparse.write::<Int64Type>(group)?;
        column::<Int32Type>(group, &self.attempt, None)?;
        column::<ByteArrayType>(group, &self.section, None)?;
        self.state.write::<ByteArrayType>(group)?;
        column::<Int64Type>(group, &self.started, None)?;
        self.archived.write::<Int64Type>(group)?;
        self.category.write::<Int32Type>(group)?;
        self.record_type.write::<ByteArrayType>(group)?;
        self.item.write::<ByteArrayType>(group)?;
        self.field.write::<ByteArrayType>(group)?;
        self.deprecated.write::<BoolType>(group)?;
        column::<Int64Type>(group, &self.problems, None)
    }
}

impl<T> Sparse<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }

    fn write<D: DataType<T = T>>(&self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()> {
        column::<D>(group, &self.values, Some(&self.levels))
    }
}

/// A text that is there.
fn text(text: &str) -> Option<ByteArray> {
    (!text.is_empty()).then(|| text.into())
}

/// Writes the next column.
fn column<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[D::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let failed = "failed to write a column";
    let mut column = group.next_column().context(failed)?.context("there are fewer columns")?;
    column.typed::<D>().write_batch(values, levels, None).context(failed)?;
    column.close().context(failed)
}
