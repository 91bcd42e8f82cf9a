mod any;
mod literal;
