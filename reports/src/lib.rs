//! From recorded facts and verdicts to what people read: HTML, Markdown, JUnit, the terminal.
//!
//! Promises: rendering never changes a verdict; the same facts give the same bytes; one HTML file that needs no
//! network, no server and no script, under 2 MB whatever the run's size. Text that came from a node's log or from a
//! record is untrusted and escaped.
//! Not here: measuring, checking, judging.

pub mod compare;
pub mod facts;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod text;
pub mod words;

mod chart;
mod cycle;
mod metrics;
mod timeline;
