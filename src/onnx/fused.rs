//! Operators of ONNX Runtime's optimiser and quantisation, as the standard operators that they stand for (set `com.microsoft`).
//!
//! What has no such form, or needs one whose dimensions the graph does not tell, stays as it is and is refused with its name.

use std::collections::HashSet;
use std::sync::Arc;

use super::fold::Why;
use super::graph::{Attribute, Graph, Node};
use super::recognise::Blocks;
use super::tensor::Tensor;

/// `graph` with standard operators in the place of fused ones.
pub(super) fn expanded(graph: Graph) -> Graph {
    let is_fused = |node: &Node| node.domain == "com.microsoft";
    if !graph.nodes.iter().any(is_fused) {
        return graph;
    }
    let Graph { nodes, mut constants, inputs, .. } = graph;
    let written = nodes.iter().flat_map(|node| &node.outputs).chain(constants.keys());
    let names = written.cloned().chain(inputs.iter().map(|port| port.name.clone())).collect();
    let mut names = Names(names);
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        if !is_fused(&node) {
            all.push(node);
            continue;
        }
        let constant = |name: &str| constants.get(name).cloned();
        let mut steps = Steps { node: &node, constant: &constant, names: &mut names, made: Made::default() };
        match steps.expand() {
            Ok(()) => {
                let made = steps.made;
                all.extend(made.nodes);
                constants.extend(made.constants);
            }
            Err(_) => all.push(node),
        }
    }
    Graph { nodes: all, constants, inputs, ..graph }
}

/// The names of a graph's tensors.
struct Names(HashSet<String>);

impl Names {
    /// A name like `stem` that no tensor has.
    fn fresh(&mut self, stem: &str) -> String {
        let mut name = stem.to_owned();
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// What is put in a node's place.
#[derive(Default)]
struct Made {
    nodes: Vec<Node>,
    constants: Vec<(String, Arc<Tensor>)>,
}

/// The steps of one fused node.
struct Steps<'a> {
    node: &'a Node,
    /// The constant of a name.
    constant: &'a dyn Fn(&str) -> Option<Arc<Tensor>>,
    names: &'a mut Names,
    made: Made,
}

impl Steps<'_> {
    fn expand(&mut self) -> Result<(), Why> {
        match self.node.op.as_str() {
            "Gelu" | "BiasGelu" => self.gelu(),
            "FastGelu" => self.fast_gelu(),
            "QuickGelu" => self.quick_gelu(),
            "SkipLayerNormalization" => self.skip_layer_normalization(),
            "FusedMatMul" | "TransposeMatMul" => self.matmul(),
            "FusedGemm" => self.activated("Gemm"),
            "FusedConv" => self.activated("Conv"),
            "DynamicQuantizeMatMul" => self.dynamic_quantise_matmul(),
            "MatMulIntegerToFloat" => self.matmul_integer_to_float(),
            "MatMulNBits" => self.matmul_of_few_bits(),
            op => Err(format!("`{op}` stands for no standard operators")),
        }
    }

    /// `x (1 + erf(x / sqrt 2)) / 2`, of x plus a bias, if there is one.
    fn gelu(&mut self) -> Result<(), Why> {
        let x = self.biased()?;
        let scaled = self.times(&x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.step("Erf", &[&scaled]);
        self.half_of(&x, &erf)
    }

    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, of x plus a bias, if there is one.
    fn fast_gelu(&mut self) -> Result<(), Why> {
        const ROOT: f32 = 0.797_884_6;
        const CUBE: f32 = 0.044_715;

        let x = self.biased()?;
        let square = self.step("Mul", &[&x, &x]);
        let scaled = self.times(&square, ROOT * CUBE);
        let root = self.number(ROOT);
        let factor = self.step("Add", &[&scaled, &root]);
        let inner = self.step("Mul", &[&x, &factor]);
        let tanh = self.step("Tanh", &[&inner]);
        self.half_of(&x, &tanh)
    }

    /// `x sigmoid(alpha x)`.
    fn quick_gelu(&mut self) -> Result<(), Why> {
        let x = self.input(0)?;
        let scaled = self.times(&x, self.node.float("alpha")?.unwrap_or(1.702));
        let gate = self.step("Sigmoid", &[&scaled]);
        self.last("Mul", &[&x, &gate], Vec::new())
    }

    /// `x (1 + gate) / 2`.
    fn half_of(&mut self, x: &str, gate: &str) -> Result<(), Why> {
        let one = self.number(1.0);
        let sum = self.step("Add", &[gate, &one]);
        let half = self.times(x, 0.5);
        self.last("Mul", &[&half, &sum], Vec::new())
    }

    /// Layer normalisation of a sum, which is the fourth output.
    fn skip_layer_normalization(&mut self) -> Result<(), Why> {
        let outputs = &self.node.outputs;
        if outputs.iter().skip(1).take(2).any(|name| !name.is_empty()) {
            return Err("its mean or its deviation is read".into());
        }
        let sum_name = outputs.get(3).filter(|name| !name.is_empty()).cloned();
        let mut terms = vec![self.input(0)?, self.input(1)?];
        terms.extend(self.node.input(4).map(str::to_owned));
        let mut sum = terms.remove(0);
        let count = terms.len();
        for (at, term) in terms.iter().enumerate() {
            sum = match sum_name.clone().filter(|_| at + 1 == count) {
                Some(name) => {
                    self.push("Add", &[&sum, term], vec![name.clone()]);
                    name
                }
                None => self.step("Add", &[&sum, term]),
            };
        }
        let scale = self.input(2)?;
        let epsilon = self.node.float("epsilon")?.unwrap_or(1e-12);
        let attributes =
            vec![("axis".to_owned(), Attribute::Int(-1)), ("epsilon".to_owned(), Attribute::Float(epsilon))];
        match self.node.input(3) {
            Some(shift) => self.last("LayerNormalization", &[&sum, &scale, shift], attributes),
            None => self.last("LayerNormalization", &[&sum, &scale], attributes),
        }
    }

    /// A product of matrices, each transposed if an attribute says so, times a factor.
    fn matmul(&mut self) -> Result<(), Why> {
        if self.flag("transBatchA")? || self.flag("transBatchB")? {
            return Err("it turns a batch".into());
        }
        let a = self.turned(0, "transA")?;
        let b = self.turned(1, "transB")?;
        match self.node.float("alpha")?.unwrap_or(1.0) {
            1.0 => self.last("MatMul", &[&a, &b], Vec::new()),
            alpha => {
                let product = self.step("MatMul", &[&a, &b]);
                let alpha = self.number(alpha);
                self.last("Mul", &[&product, &alpha], Vec::new())
            }
        }
    }

    /// Input `index` with its last two dimensions swapped, if the attribute `name` says so. Only of a constant is their number known.
    fn turned(&mut self, index: usize, name: &str) -> Result<String, Why> {
        let input = self.input(index)?;
        if !self.flag(name)? {
            return Ok(input);
        }
        let rank = (self.constant)(&input).map(|tensor| tensor.shape.len()).filter(|&rank| rank >= 2);
        let rank = rank.ok_or_else(|| format!("it transposes input {index}, which is no constant"))? as i64;
        let order = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        let attributes = vec![("perm".to_owned(), Attribute::Ints(order))];
        Ok(self.further("Transpose", &[&input], attributes))
    }

    /// The operator `op` with the node's own attributes, and then its activation.
    fn activated(&mut self, op: &str) -> Result<(), Why> {
        let Some(Attribute::Text(activation)) = self.node.attribute("activation") else {
            return Err("attribute `activation` is missing".into());
        };
        if !matches!(activation.as_str(), "Relu" | "Tanh" | "Sigmoid") {
            return Err(format!("attribute `activation` is {activation}"));
        }
        let own = self.node.attributes.iter().filter(|(name, _)| !name.starts_with("activation"));
        let own = own.cloned().collect();
        let inputs: Vec<&str> = self.node.inputs.iter().map(String::as_str).collect();
        if inputs.len() > 3 {
            return Err("it adds a fourth input".into());
        }
        let activation = activation.clone();
        let sum = self.further(op, &inputs, own);
        self.last(&activation, &[&sum], Vec::new())
    }

    /// A product of what is quantised here, `A`, and weights `B` with their scale and zero point, plus a bias.
    fn dynamic_quantise_matmul(&mut self) -> Result<(), Why> {
        let a = self.input(0)?;
        let parts = ["values", "scale", "zero"].map(|part| self.fresh(part));
        self.push("DynamicQuantizeLinear", &[&a], parts.to_vec());
        let [values, scale, zero] = parts;
        self.integer_product(&Integers { values, scale, zero: Some(zero) }, [1, 2, 3, 4])
    }

    /// The same of what is quantised already: `A`, `B`, their scales, their zero points, bias.
    fn matmul_integer_to_float(&mut self) -> Result<(), Why> {
        let a = Integers {
            values: self.input(0)?,
            scale: self.input(2)?,
            zero: self.node.input(4).map(str::to_owned),
        };
        self.integer_product(&a, [1, 3, 5, 6])
    }

    /// The product of `a` with the weights, their scale and their zero point, plus a bias, by the places of these inputs.
    fn integer_product(&mut self, a: &Integers, [b, scale, zero, bias]: [usize; 4]) -> Result<(), Why> {
        const FLOAT: i64 = 1;

        let b = self.input(b)?;
        let mut inputs = vec![a.values.as_str(), &b, a.zero.as_deref().unwrap_or_default()];
        inputs.extend(self.node.input(zero));
        let sums = self.step("MatMulInteger", &inputs);
        let sums = self.further("Cast", &[&sums], vec![("to".to_owned(), Attribute::Int(FLOAT))]);
        let own_scale = self.input(scale)?;
        let scale = self.step("Mul", &[&a.scale, &own_scale]);
        match self.node.input(bias) {
            Some(bias) => {
                let product = self.step("Mul", &[&sums, &scale]);
                self.last("Add", &[&product, bias], Vec::new())
            }
            None => self.last("Mul", &[&sums, &scale], Vec::new()),
        }
    }

    /// A product with weights of a few bits, plus a bias.
    fn matmul_of_few_bits(&mut self) -> Result<(), Why> {
        if self.node.input(4).is_some() {
            return Err("its features are in an order of their own".into());
        }
        let constant = |name: Option<&str>| name.and_then(|name| (self.constant)(name));
        let missing = |index: usize| format!("input {index} is no constant");
        let packed = constant(self.node.input(1)).ok_or_else(|| missing(1))?;
        let scales = constant(self.node.input(2)).ok_or_else(|| missing(2))?;
        let zeros =
            self.node.input(3).map(|zeros| constant(Some(zeros)).ok_or_else(|| missing(3))).transpose()?;
        let weights = Blocks::of(self.node)?.floats(&packed, &scales, zeros.as_deref())?;
        let name = self.fresh("weights");
        self.made.constants.push((name.clone(), Arc::new(weights)));
        let turned =
            self.further("Transpose", &[&name], vec![("perm".to_owned(), Attribute::Ints(vec![1, 0]))]);
        let a = self.input(0)?;
        match self.node.input(5) {
            Some(bias) => {
                let product = self.step("MatMul", &[&a, &turned]);
                self.last("Add", &[&product, bias], Vec::new())
            }
            None => self.last("MatMul", &[&a, &turned], Vec::new()),
        }
    }

    fn input(&self, index: usize) -> Result<String, Why> {
        self.node.input(index).map(str::to_owned).ok_or_else(|| format!("input {index} is missing"))
    }

    fn flag(&self, name: &str) -> Result<bool, Why> {
        Ok(self.node.int(name)?.unwrap_or(0) != 0)
    }

    /// Input 0, plus input 1 if there is one.
    fn biased(&mut self) -> Result<String, Why> {
        let x = self.input(0)?;
        Ok(match self.node.input(1) {
            Some(bias) => self.step("Add", &[&x, bias]),
            None => x,
        })
    }

    fn times(&mut self, x: &str, factor: f32) -> String {
        let factor = self.number(factor);
        self.step("Mul", &[x, &factor])
    }

    /// The name of a constant.
    fn number(&mut self, value: f32) -> String {
        let name = self.fresh("number");
        self.made.constants.push((name.clone(), Arc::new(Tensor::floats(Vec::new(), vec![value]))));
        name
    }

    /// The name of what a further node makes.
    fn step(&mut self, op: &str, inputs: &[&str]) -> String {
        self.further(op, inputs, Vec::new())
    }

    /// The same of a node with attributes.
    fn further(&mut self, op: &str, inputs: &[&str], attributes: Vec<(String, Attribute)>) -> String {
        let name = self.fresh(op);
        self.push(op, inputs, vec![name.clone()]).attributes = attributes;
        name
    }

    /// The node that makes the fused node's first output. Messages name it as the file does.
    fn last(&mut self, op: &str, inputs: &[&str], attributes: Vec<(String, Attribute)>) -> Result<(), Why> {
        let to = self.node.outputs.first().filter(|name| !name.is_empty()).cloned();
        let name = self.node.name.clone();
        let node = self.push(op, inputs, vec![to.ok_or("it has no output")?]);
        node.attributes = attributes;
        node.name = name;
        Ok(())
    }

    /// Adds a node without attributes.
    fn push(&mut self, op: &str, inputs: &[&str], outputs: Vec<String>) -> &mut Node {
        self.made.nodes.push(Node {
            // The names of values are unique, and so are those of the nodes that make them.
            name: outputs.first().cloned().unwrap_or_default(),
            op: op.to_owned(),
            domain: String::new(),
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs,
            attributes: Vec::new(),
        });
        self.made.nodes.last_mut().expect("a node was added")
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.names.fresh(&format!("{}.{stem}", self.node.name))
    }
}

/// A tensor in integers.
struct Integers {
    values: String,
    scale: String,
    zero: Option<String>,
}
