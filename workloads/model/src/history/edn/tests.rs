mod any;
mod literal;
mod quick;
