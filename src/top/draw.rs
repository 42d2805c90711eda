//! Draws what is shown into a frame of whatever size. It decides nothing.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{self, Block, Borders, Clear, Paragraph, TableState, Wrap};

use super::state::Top;
use super::tables::{Row, SECTIONS, Table};
use super::words::time;

/// Most sentences that are shown below the first.
const ALSO: usize = 3;

const KEYS: &str = "tab or 1-8 section   up/down row   s sort   ? keys   q end";

const HELP: &str = "\
1-8, tab, arrows   turn to a section
up, down, j, k     choose a row; what is to be said of it stands below
page up, page down ten rows further
s                  sort by the next column, and in the end as it was told
?                  these keys
q, esc, ctrl-c     end

What is shown is read once a second from the weir that runs.
Nothing is changed there.";

/// The colour of how well it is; terminals have their own idea of each.
fn colour(level: &str) -> Style {
    let style = Style::new();
    match level {
        "well" => style.fg(Color::Green),
        "attention" => style.fg(Color::Yellow),
        _ => style.fg(Color::Red),
    }
}

fn soft() -> Style {
    Style::new().fg(Color::DarkGray)
}

/// All of it.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top) {
    let says = verdict(top);
    // As many lines as it takes at this width, as far as there is room.
    let width = usize::from(frame.area().width.max(1));
    let lines: usize = says.iter().map(|line| line.width().max(1).div_ceil(width)).sum();
    let height = u16::try_from(lines).unwrap_or(1).min(frame.area().height / 3).max(1);
    let [head, said, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(height),
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(top), head);
    frame.render_widget(Paragraph::new(says).wrap(Wrap { trim: true }), said);
    frame.render_widget(sections(top.section), tabs);
    frame.render_widget(Paragraph::new(KEYS).style(soft()), foot);
    if top.seen.is_some() {
        section(frame, top, body);
    }
    if top.help {
        let area = frame.area().centered(Constraint::Max(72), Constraint::Max(12));
        frame.render_widget(Clear, area);
        let block = Block::default().borders(Borders::ALL).title(" keys ");
        frame.render_widget(Paragraph::new(HELP).block(block), area);
    }
}

fn heading(top: &Top) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![Span::styled("weir", bold)];
    if let Some(seen) = &top.seen {
        spans.push(Span::raw(format!(" {}, up {}", seen.weir.version, time(seen.weir.up_seconds * 1000))));
    }
    spans.push(Span::styled(format!("  {}  ", top.url), soft()));
    spans.push(match (&top.lost, &top.seen) {
        (Some(_), _) => Span::styled("no connection", colour("trouble")),
        (None, Some(_)) => Span::styled("live", colour("well")),
        (None, None) => Span::styled("connecting", soft()),
    });
    Line::from(spans)
}

/// Whether everything is well, as far as that is known.
fn verdict(top: &Top) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(why) = &top.lost {
        let says = format!("weir does not answer: {why}. It is asked again each second.");
        lines.push(Line::styled(says, colour("trouble").add_modifier(Modifier::BOLD)));
    }
    match &top.seen {
        Some(seen) if top.lost.is_none() => {
            let verdict = &seen.verdict;
            let style = colour(&verdict.level).add_modifier(Modifier::BOLD);
            lines.push(Line::styled(verdict.says.clone(), style));
            lines.extend(
                verdict.also.iter().take(ALSO).map(|also| Line::styled(also.clone(), colour("attention"))),
            );
        }
        Some(_) => lines.push(Line::styled("What you see is what it told last.", soft())),
        None => {}
    }
    lines
}

fn sections(chosen: usize) -> Text<'static> {
    let mut spans = Vec::new();
    for (nth, name) in SECTIONS.iter().enumerate() {
        let style = match nth == chosen {
            true => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
            false => Style::new(),
        };
        spans.push(Span::styled(*name, style));
        spans.push(Span::raw("  "));
    }
    Text::from(vec![Line::default(), Line::from(spans)])
}

/// The chosen section's table, with what there is to be said of the chosen row.
fn section(frame: &mut Frame<'_>, top: &mut Top, area: Rect) {
    let table = top.table();
    top.chosen = top.chosen.min(table.rows.len().saturating_sub(1));
    let detail = table.rows.get(top.chosen).map(|row| row.detail.clone()).unwrap_or_default();
    let below = if area.height >= 9 { 3 } else { 0 };
    let [title, rows, said] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(2), Constraint::Length(below)]).areas(area);
    frame.render_widget(Paragraph::new(table.title.clone()).style(soft()), title);
    if table.rows.is_empty() {
        frame.render_widget(Paragraph::new("none"), rows);
        return;
    }
    let mut state = TableState::default().with_selected(Some(top.chosen));
    frame.render_stateful_widget(rows_of(&table, top.sort), rows, &mut state);
    let block = Block::default().borders(Borders::TOP).border_style(soft());
    frame.render_widget(Paragraph::new(detail).wrap(Wrap { trim: true }).block(block), said);
}

fn rows_of(table: &Table, sort: Option<usize>) -> widgets::Table<'static> {
    let head = table.columns.iter().enumerate().map(|(nth, (name, _, side))| {
        let style = match sort == Some(nth) {
            true => Style::new().add_modifier(Modifier::UNDERLINED),
            false => soft(),
        };
        cell(name, *side).style(style)
    });
    let widths: Vec<Constraint> = table.columns.iter().map(|(_, width, _)| *width).collect();
    let rows: Vec<widgets::Row<'static>> = table.rows.iter().map(|row| line(row, table)).collect();
    widgets::Table::new(rows, widths)
        .header(widgets::Row::new(head.collect::<Vec<_>>()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
}

fn line(row: &Row, table: &Table) -> widgets::Row<'static> {
    let cells = row.cells.iter().zip(&table.columns).map(|(of, (_, _, side))| cell(&of.text, *side));
    let style = if row.wrong { colour("trouble") } else { Style::new() };
    widgets::Row::new(cells.collect::<Vec<_>>()).style(style)
}

fn cell(text: &str, side: Alignment) -> widgets::Cell<'static> {
    widgets::Cell::new(Text::from(text.to_owned()).alignment(side))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::*;
    use crate::admin::snapshot::{
        Client, Clients, Kept, Load, Rates, Reads, Server, Snapshot, Split, Traffic, Verdict,
    };

    fn server(name: &str, role: &str) -> Server {
        let [name, role, health] = [name, role, "up"].map(str::to_owned);
        Server {
            name,
            role,
            health,
            load: Load { active: 3, idle: 5, ..Load::default() },
            ..Server::default()
        }
    }

    fn seen() -> Snapshot {
        let kept = Kept {
            reason: "volatile_function".to_owned(),
            minute: 7,
            start: 70,
            what_to_do: "declare it STABLE".to_owned(),
        };
        let rates = |name: &str, reads| Rates { server: name.to_owned(), reads, writes: vec![1.0; 60] };
        let client = Client {
            application: "<b>shop</b>".to_owned(),
            state: "waiting".to_owned(),
            for_ms: Some(3_400),
            ..Client::default()
        };
        Snapshot {
            verdict: Verdict { level: "well".to_owned(), says: "All is well.".to_owned(), also: Vec::new() },
            servers: vec![server("db1", "primary"), server("db2", "replica")],
            traffic: Traffic { servers: vec![rates("db1", vec![2.0; 60]), rates("db2", vec![123.0; 60])] },
            reads: Reads { minute: Split { replicas: 93, primary: 7 }, kept: vec![kept], ..Reads::default() },
            clients: Clients { all: 1, waiting: 1, top: vec![client], ..Clients::default() },
            ..Snapshot::default()
        }
    }

    /// What stands on a screen of this size.
    fn screen(top: &mut Top, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, top)).unwrap();
        terminal.backend().to_string()
    }

    fn turned_to(section: char) -> Top {
        let mut top = Top::new("http://127.0.0.1:9187");
        top.sees(seen());
        top.key(KeyEvent::from(KeyCode::Char(section)));
        top
    }

    #[test]
    fn eighty_by_twenty_four_is_enough() {
        let servers = screen(&mut turned_to('1'), 80, 24);
        for word in [
            "All is well.",
            "live",
            "Servers",
            "Events",
            "db1",
            "primary",
            "replica",
            "3+5",
            "123",
            "█",
            "q end",
        ] {
            assert!(servers.contains(word), "{word} is missing:\n{servers}");
        }
        let reads = screen(&mut turned_to('2'), 80, 24);
        assert!(
            reads.contains("93 % of 100 in the last minute") && reads.contains("volatile_function"),
            "{reads}"
        );
        assert!(reads.matches("declare it STABLE").count() >= 2, "in its row, and below:\n{reads}");
        let clients = screen(&mut turned_to('7'), 80, 24);
        assert!(clients.contains("<b>shop</b>") && clients.contains("3.4 s"), "{clients}");
    }

    #[test]
    fn every_size_is_drawn() {
        for (width, height) in [(1, 1), (5, 3), (20, 6), (80, 5), (40, 24), (300, 90)] {
            for section in '1'..='8' {
                let mut top = turned_to(section);
                screen(&mut top, width, height);
                top.key(KeyEvent::from(KeyCode::Char('?')));
                screen(&mut top, width, height);
            }
        }
    }

    #[test]
    fn what_is_not_told_any_more_is_said() {
        let mut top = Top::new("http://127.0.0.1:9187");
        assert!(screen(&mut top, 80, 24).contains("connecting"));
        top.loses("127.0.0.1:9187 cannot be reached: Connection refused".to_owned());
        let lost = screen(&mut top, 80, 24);
        assert!(
            lost.contains("weir does not answer: 127.0.0.1:9187 cannot be reached")
                && lost.contains("no connection"),
            "{lost}"
        );
        top.sees(seen());
        assert!(screen(&mut top, 80, 24).contains("All is well."));
        top.loses("gone".to_owned());
        let lost = screen(&mut top, 80, 24);
        assert!(
            lost.contains("What you see is what it told last.")
                && lost.contains("db1")
                && !lost.contains("All is well."),
            "{lost}"
        );
    }

    #[test]
    fn keys_are_explained() {
        let mut top = turned_to('1');
        top.key(KeyEvent::from(KeyCode::Char('?')));
        assert!(screen(&mut top, 80, 24).contains("sort by the next column"));
    }
}
