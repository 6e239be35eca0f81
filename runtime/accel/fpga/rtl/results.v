// A queue of DEPTH results in block memory, and one more in the register that its reader sees.
module results #(
  parameter WIDTH = 97,
  parameter DEPTH = 64 // a power of two
) (
  input  wire                       clk,
  input  wire                       reset,
  input  wire                       write,
  input  wire [WIDTH-1:0]           in,
  // With the one that the reader sees.
  output wire [$clog2(DEPTH+2)-1:0] used,
  output reg                        valid,
  input  wire                       ready,
  output reg  [WIDTH-1:0]           out
);
  localparam ADDRESS = $clog2(DEPTH);
  localparam LEVEL = $clog2(DEPTH + 2);
  reg  [WIDTH-1:0] memory [0:DEPTH-1];
  // One bit more than an address: a full queue is not an empty one.
  reg  [ADDRESS:0] head, tail;
  wire [ADDRESS:0] waiting = tail - head;
  wire take = waiting != 0 && (!valid || ready);
  generate
    if (LEVEL > ADDRESS + 1) assign used = {{(LEVEL - ADDRESS - 1){1'b0}}, waiting} + {{(LEVEL - 1){1'b0}}, valid};
    else assign used = waiting + {{(LEVEL - 1){1'b0}}, valid};
  endgenerate
  always @(posedge clk) begin
    if (write) memory[tail[ADDRESS-1:0]] <= in;
    if (take) out <= memory[head[ADDRESS-1:0]];
    if (reset) begin
      head  <= 0;
      tail  <= 0;
      valid <= 0;
    end else begin
      if (write) tail <= tail + 1;
      if (take) head <= head + 1;
      valid <= take || (valid && !ready);
    end
  end
endmodule
