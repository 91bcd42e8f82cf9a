mod any;
mod clean;
mod found;
mod history;
mod loss;
mod reference;
mod spill;
