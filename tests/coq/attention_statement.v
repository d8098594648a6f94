From Ncd Require Import Readback.
Local Open Scope list_scope.
Local Open Scope Z_scope.

Theorem statement_1 :
  forall (b d h m m_blocks m_tile n : Z),
  1 <= b -> 1 <= d -> 1 <= h -> 1 <= m -> 1 <= m_blocks -> 1 <= m_tile -> 1 <= n ->
  m <= m_blocks * m_tile ->
  forall (k q v : Z -> Z -> Z -> Z -> R),
  forall (b_0 h_0 n_0 d_0 : Z),
  0 <= b_0 < b -> 0 <= h_0 < h -> 0 <= n_0 < n -> 0 <= d_0 < d ->
  let t1 (m_0 : Z) := ((∑ d_1 < d, q b_0 h_0 n_0 d_1 * k b_0 h_0 m_0 d_1) / sqrt d)%value in
  let t2 (m_0 : Z) := (exp (t1 m_0 - (max m_0 < m, t1 m_0)))%value in
  let t3 (m_block_0 m_tile_0 : Z) :=
    (when (m_block_0 * m_tile + m_tile_0 <? m)%Z
       then / sqrt d
            * (∑ d_1 < d, k b_0 h_0 (m_block_0 * m_tile + m_tile_0)%Z d_1 * q b_0 h_0 n_0 d_1)
       else -∞)%value in
  ((∑ m_0 < m, t2 m_0 / (∑ m_0 < m, t2 m_0) * v b_0 h_0 m_0 d_0)
   = (rescaled m_block_0 < m_blocks,
        (rescaled m_tile_0 < m_tile,
           v b_0 h_0 (m_block_0 * m_tile + m_tile_0)%Z d_0
           by t3 m_block_0 m_tile_0)
        by max m_tile_0 < m_tile, t3 m_block_0 m_tile_0)
     / (rescaled m_block_0 < m_blocks,
          (rescaled m_tile_0 < m_tile, 1 by t3 m_block_0 m_tile_0)
          by max m_tile_0 < m_tile, t3 m_block_0 m_tile_0))%value.
Proof.
  intros b d h m m_blocks m_tile n premise_1 premise_2 premise_3 premise_4 premise_5 premise_6
    premise_7 premise_8 k q v b_0 h_0 n_0 d_0 premise_9 premise_10 premise_11 premise_12.
  readback certificate certificate_context certificate_nodes certificate_goals
    114%positive 113%positive (Subjects [m_blocks; m_tile; m; b; d; h; n] [Reals 4 k; Reals 4 q;
    Reals 4 v] [] [] [b_0; d_0; 0; h_0; 0; 0; 0; n_0] [1; 4; 8; 2]%positive).
Qed.
