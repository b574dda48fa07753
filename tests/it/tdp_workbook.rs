//! Makes small workbooks, part by part, so that a test can spoil any of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

/// The parts of a workbook by name.
pub type Parts = BTreeMap<String, String>;

/// Rows of a sheet by number; each cell is the inside of a `<c>` element, with its attributes.
pub type Rows<'a> = &'a [(u32, &'a [&'a str])];

/// A workbook of one sheet.
pub fn workbook(rows: Rows<'_>) -> Vec<u8> {
    zipped(&parts(&[("Exits", "", rows)]))
}

/// The parts of a workbook with these sheets: name, attributes, rows.
pub fn parts(sheets: &[(&str, &str, Rows<'_>)]) -> Parts {
    let types = "application/vnd.openxmlformats-officedocument.spreadsheetml";
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let mut parts = Parts::new();
    let mut add = |name: &str, text: String| drop(parts.insert(name.to_owned(), text));
    let (mut listed, mut related) = (String::new(), String::new());
    for (nth, (name, attributes, rows)) in (1..).zip(sheets) {
        write!(listed, r#"<sheet name="{name}" sheetId="{nth}" r:id="r{nth}" {attributes}/>"#)
            .expect("write");
        write!(
            related,
            r#"<Relationship Id="r{nth}" Type="{relations}/worksheet" Target="worksheets/sheet{nth}.xml"/>"#
        )
        .expect("write");
        let mut sheet = format!(r#"<worksheet xmlns="{main}"><dimension ref="A1:C9"/><sheetData>"#);
        for (row, cells) in *rows {
            write!(sheet, r#"<row r="{row}">"#).expect("write");
            for (column, cell) in ["A", "B", "C"].iter().zip(*cells) {
                write!(sheet, r#"<c r="{column}{row}" {cell}</c>"#).expect("write");
            }
            sheet.push_str("</row>");
        }
        sheet.push_str("</sheetData></worksheet>");
        add(&format!("xl/worksheets/sheet{nth}.xml"), sheet);
    }
    add(
        "[Content_Types].xml",
        format!(
            r#"<Types xmlns="{packages}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>"#
        ),
    );
    add(
        "_rels/.rels",
        format!(
            r#"<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
        ),
    );
    add(
        "xl/workbook.xml",
        format!(
            r#"<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{listed}</sheets><definedNames><definedName name="all">Exits!$A$1:$C$9</definedName></definedNames></workbook>"#
        ),
    );
    add(
        "xl/_rels/workbook.xml.rels",
        format!(
            r#"<Relationships xmlns="{packages}/relationships">{related}<Relationship Id="s" Type="{relations}/styles" Target="styles.xml"/></Relationships>"#
        ),
    );
    add(
        "xl/styles.xml",
        format!(
            r#"<styleSheet xmlns="{main}"><numFmts count="2"><numFmt numFmtId="164" formatCode="000000000"/><numFmt numFmtId="165" formatCode="000\-00\-0000"/></numFmts><fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts><cellXfs count="4"><xf numFmtId="0" fontId="0"/><xf numFmtId="14" applyNumberFormat="1"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs></styleSheet>"#
        ),
    );
    add(
        "xl/sharedStrings.xml",
        format!(
            r#"<sst xmlns="{main}" count="2" uniqueCount="2"><si><t>202401</t></si><si><r><t>91234</t></r><r><t>5679</t></r></si></sst>"#
        ),
    );
    parts
}

/// The parts as one file.
pub fn zipped(parts: &Parts) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let packed =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, text) in parts {
        archive.start_file(name.as_str(), packed).expect("part");
        archive.write_all(text.as_bytes()).expect("part");
    }
    archive.finish().expect("archive").into_inner()
}

pub fn number(value: &str) -> String {
    format!("><v>{value}</v>")
}

pub fn text(value: &str) -> String {
    format!(r#"t="inlineStr"><is><t>{value}</t></is>"#)
}
