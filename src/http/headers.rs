//! Headers that keep a page to itself: what it may load and who may show it, and that a download is never opened.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// What a page may do: load from this site alone, run no script and no style of its own text, be framed by nobody.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Nobody else's page may load it, not even as a picture or a script.
const RESOURCE_POLICY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));

/// Pages that it opens, or that opened it, have no hold on its window.
const OPENER_POLICY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));

/// Adds the headers of every answer.
pub(super) fn on_all(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// Adds the headers of a page and of what belongs to it. What may be kept by a browser says so itself.
pub(super) fn on_pages(headers: &mut HeaderMap) {
    on_all(headers);
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    // The address of a page names a run, and is nobody else's business.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.extend([RESOURCE_POLICY, OPENER_POLICY]);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The header with which a browser saves what it gets as a file of this name, and never opens it.
pub(super) fn attachment(file_name: &str) -> (HeaderName, HeaderValue) {
    (CONTENT_DISPOSITION, disposition(file_name))
}

fn disposition(file_name: &str) -> HeaderValue {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain: String = file_name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"")).expect("plain characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_a_plain_name_whatever_the_file_is_called() {
        let name = |file| disposition(file).to_str().expect("text").to_owned();
        assert_eq!(name("run-1.log.gz"), "attachment; filename=\"run-1.log.gz\"");
        assert_eq!(name("a\"; x=\r\n/é.log"), "attachment; filename=\"a___x_____.log\"");
    }

    #[test]
    fn a_page_is_not_kept_unless_it_says_so() {
        let mut headers = HeaderMap::new();
        on_pages(&mut headers);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("max-age=60"))]);
        on_pages(&mut headers);
        assert_eq!((&headers[CACHE_CONTROL], headers.len()), (&HeaderValue::from_static("max-age=60"), 6));
    }
}
