//! The two formats of lines, each of which can be told of spans that were entered under the other: a client stays longer
//! than a format does.

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// For people.
#[derive(Debug, Default)]
pub(super) struct AsText(Format<Full>);

/// For machines.
#[derive(Debug)]
pub(super) struct AsJson(pub(super) Format<Json>);

impl<S> FormatEvent<S, DefaultFields> for AsText
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        for span in context.event_scope().into_iter().flatten() {
            let mut fields = span.extensions_mut();
            let has_own = fields.get_mut::<FormattedFields<DefaultFields>>().is_some();
            let other = fields.get_mut::<FormattedFields<JsonFields>>().map(|json| json.fields.clone());
            if let Some(json) = other.filter(|_| !has_own) {
                fields.insert(FormattedFields::<DefaultFields>::new(json));
            }
        }
        self.0.format_event(context, writer, event)
    }
}

impl<S> FormatEvent<S, JsonFields> for AsJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        for span in context.event_scope().into_iter().flatten() {
            let mut fields = span.extensions_mut();
            if fields.get_mut::<FormattedFields<JsonFields>>().is_none() {
                let text = fields.get_mut::<FormattedFields<DefaultFields>>().map(|text| text.fields.clone());
                let json = text
                    .map_or_else(|| "{}".to_owned(), |text| format!("{{\"fields\":\"{}\"}}", escaped(&text)));
                fields.insert(FormattedFields::<JsonFields>::new(json));
            }
        }
        self.0.format_event(context, writer, event)
    }
}

/// As a string of JSON holds it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped += &format!("\\u{:04x}", u32::from(letter)),
            letter => escaped.push(letter),
        }
    }
    escaped
}
