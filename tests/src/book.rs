//! The pages of the book, as Markdown says them: links, headings and blocks of code.

use std::collections::BTreeMap;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What a page holds.
#[derive(Debug, Default)]
pub struct Page {
    /// Where its links lead, as written.
    pub links: Vec<String>,
    /// The fragments that lead to its headings, as mdBook and GitHub make them.
    pub anchors: Vec<String>,
    /// Its blocks of code, in order.
    pub code: Vec<Code>,
}

/// A block of code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The words after the fence: a language, then what we say to whoever runs it.
    pub info: String,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// Reads a page.
    pub fn parse(markdown: &str) -> Self {
        let mut page = Self::default();
        let mut seen = BTreeMap::<String, usize>::new();
        let mut heading: Option<String> = None;
        let mut code: Option<Code> = None;
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let again = seen.entry(slug.clone()).or_default();
                    page.anchors.push(match *again {
                        0 => slug,
                        n => format!("{slug}-{n}"),
                    });
                    *again = again.saturating_add(1);
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    code = Some(Code {
                        info: info.into_string(),
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.code.extend(code.take()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    } else if let Some(code) = &mut code {
                        code.text.push_str(&text);
                    }
                }
                Event::Start(_)
                | Event::End(_)
                | Event::InlineMath(_)
                | Event::DisplayMath(_)
                | Event::Html(_)
                | Event::InlineHtml(_)
                | Event::FootnoteReference(_)
                | Event::SoftBreak
                | Event::HardBreak
                | Event::Rule
                | Event::TaskListMarker(_) => {}
            }
        }
        page
    }
}

/// Lower case, blanks as hyphens, and nothing but letters, digits, hyphens and underscores.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}
