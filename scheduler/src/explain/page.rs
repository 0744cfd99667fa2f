//! Text that fits a terminal: lines of at most 80 columns, whatever the names in it hold.

/// The widest line.
pub(super) const WIDTH: usize = 80;

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Writes a paragraph from `indent` on; its further lines stand two columns deeper.
    pub(super) fn say(&mut self, indent: usize, text: &str) {
        let mut line = " ".repeat(indent);
        let mut empty = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let mut word: Vec<char> = word.chars().flat_map(shown).collect();
            loop {
                let gap = usize::from(!empty);
                let room = WIDTH - line.chars().count();
                if word.len() + gap <= room {
                    line.extend(std::iter::repeat_n(' ', gap).chain(word.drain(..)));
                    empty = false;
                    break;
                }
                if empty {
                    // A name longer than a line is cut where the line ends.
                    line.extend(word.drain(..room));
                }
                self.0.push_str(&line);
                self.0.push('\n');
                line = " ".repeat(indent + 2);
                empty = true;
            }
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// The page.
    pub(super) fn text(self) -> String {
        self.0
    }
}

/// A character as it is shown: what would move the cursor, or show nothing, as its number.
fn shown(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words_and_long_names_are_cut() {
        let mut page = Page::default();
        page.say(2, &format!("{} {} end", "word ".repeat(20).trim_end(), "x".repeat(200)));
        let text = page.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line.starts_with("  ")), "{text}");
        assert_eq!(text.matches("word").count(), 20);
        assert_eq!(text.matches('x').count(), 200);
        assert!(text.ends_with("end\n"));
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("    ")));
    }

    #[test]
    fn names_can_not_move_the_cursor() {
        let mut page = Page::default();
        page.say(0, "a\u{1b}[31m\nb");
        assert_eq!(page.text(), "a\\u{1b}[31m\\nb\n");
    }
}
