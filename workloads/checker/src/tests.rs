mod any;
mod clean;
mod found;
mod groups;
mod history;
mod loss;
mod reference;
mod transactions;
