//! The page and what belongs to it, as it was compiled in. It names no other host, and its policy lets it reach none; it puts
//! what it is told where text goes, and never where markup does.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// One file, and its type.
#[derive(Clone, Copy)]
pub(super) struct File(&'static str, &'static str);

/// What stands at `/`.
pub(super) const PAGE: File = File(include_str!("page/page.html"), "text/html; charset=utf-8");
/// How it looks.
pub(super) const STYLE: File = File(include_str!("page/page.css"), "text/css; charset=utf-8");
/// What draws it.
pub(super) const SCRIPT: File = File(include_str!("page/page.js"), "text/javascript; charset=utf-8");
/// Its sign, for a browser's tab.
pub(super) const ICON: File = File(include_str!("page/icon.svg"), "image/svg+xml");

/// What a browser may do with it: nothing, but for these files and the events.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What goes with everything that is for a browser.
pub(super) const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let Self(text, kind) = self;
        (HEADERS, [(header::CONTENT_TYPE, kind)], text).into_response()
    }
}
